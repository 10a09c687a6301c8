"""Settings: options that need not be given on every command. Format and rules: schemas/configuration.md."""
