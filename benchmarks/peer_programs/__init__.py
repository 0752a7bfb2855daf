"""Programs that measure one ledger each, every one in the environment of the library it measures."""
