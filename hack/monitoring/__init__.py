"""Alerts with their runbooks, and dashboards: what the chart installs for Prometheus and Grafana.

It must not name a metric that neither the operator's table nor Triton has; a test holds it to that.
"""
