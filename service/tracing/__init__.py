"""What a request did, told as spans: OpenTelemetry stays in here."""
