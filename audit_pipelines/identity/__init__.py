"""Persons who sign in and sign: accounts, passwords, sessions, electronic signatures (21 CFR Part 11), daily reviews.

Knows the ledger, the vault and the database; neither HTTP nor Dagster nor the command line.
"""
