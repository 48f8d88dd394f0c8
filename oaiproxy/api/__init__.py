"""What is spoken on the wire: values and their bytes.  Nothing here knows the reactor or the rest of the project."""
