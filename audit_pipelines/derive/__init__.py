"""What is made of the ledger and the lake: thin glue over an `Installation`, called by Dagster, commands and tests."""
