"""Settings, and the services that several processes share."""
