"""The API: its routes, the records of its requests and responses, its document, and the metrics for Prometheus.

Never: check who may ask (`web/http/middleware.py`).
"""
