"""Where the truth is kept. Each file is one database, behind `ports.Store` and `ports.Records`."""
