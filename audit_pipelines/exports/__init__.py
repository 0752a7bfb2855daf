"""Exports: what of the ledger is selected, how it is read, written and streamed, and the jobs that make large ones.

Knows database, vault and archive, and neither HTTP nor Dagster: `server/exports.py` and the command `export` are shells
over it. The pages of a PDF are `reports/events_pdf.py`'s, the proof in evidence `ledger/proof.py`'s.
"""
