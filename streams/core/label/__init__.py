"""What the IT context says of alerts: told with them, and told anew when the context changes."""
