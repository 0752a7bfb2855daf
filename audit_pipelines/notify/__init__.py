"""How an alert is told to each kind of destination. Which alerts go where and when is `derive/alerts.py`'s.

A kind is a module with a class that has `send(alert)`; `destinations.open_destination` knows all of them.
"""
