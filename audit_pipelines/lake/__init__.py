"""The Parquet lake and the catalog that opens it: copies of the ledger and of what is derived, always rebuildable."""
