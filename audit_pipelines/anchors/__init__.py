"""Anchors outside the database: other folders, time-stamp authorities, webhooks, object storage.

What a checkpoint is and the anchor of the home are `ledger/checkpoint.py`; here is what may be slow or fail, and the
register that makes failures visible and tries again.
"""
