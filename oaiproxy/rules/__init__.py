"""What the proxy does to texts and parameters because somebody asked for it.  Plain code, no reactor."""
