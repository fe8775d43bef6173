"""What kopf is run with: its connection to the API server, and the end of what it started."""
