"""Metrics, each equal to an independent witness."""
