"""The world behind the ports: one package per vendor or system, whose errors stop here."""
