"""The triage room."""
