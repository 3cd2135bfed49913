"""The closed list of providers. Each is one file: a configuration section that builds requests and reads answers."""
