"""The demo: a real broker, every service, a simulated plant and a live view of what comes out, in one command."""
