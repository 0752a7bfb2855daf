"""The HTTP interface: a thin shell over ledger and vault; it holds no rule of the ledger itself."""
