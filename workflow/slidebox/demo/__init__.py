"""The demo: an inbox of real and simulated studies, and a run of the whole workflow on it."""
