"""The hash-chained, append-only ledger: the only truth of the product."""
