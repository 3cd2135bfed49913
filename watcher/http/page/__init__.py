"""The page at `/`: what is sent of it as files, and `page.py`, which sends them. What it shows comes from the API."""
