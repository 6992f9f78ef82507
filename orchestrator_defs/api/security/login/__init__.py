"""Login: bearer tokens and browser sessions of an OpenID Connect provider."""
