"""Where the truth is kept. Each file is one database, behind `store.Store` and `ports.Records`."""
