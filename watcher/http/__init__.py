"""What `listen` serves: health, metrics, the API. It checks, asks the store and answers; it decides nothing."""
