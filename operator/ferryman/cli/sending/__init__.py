"""Commands that send requests: open-loop load, and one request whose time is accounted for."""
