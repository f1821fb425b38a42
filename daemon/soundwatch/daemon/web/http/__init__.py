"""HTTP for the page and the API: limits of clients, security checks, login, TLS, and refusals.

Never: know a route of the API.
"""
