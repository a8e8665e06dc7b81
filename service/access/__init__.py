"""Who may ask what: keys, their scopes, and the file that lists them."""
