"""Small ASGI applications that are measured beside the gateway: each isolates one choice."""
