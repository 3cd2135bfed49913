"""Where watch requests come from. Each file is one kind of source, behind `ports.Source`."""
