"""What the server is measured beside. Each is a program of its own."""
