"""Questions to one tenant's trail, answered from its database: filters, meaning, words, counts.

Knows the database and the vault; knows neither HTTP nor Dagster. What a question means is understood in
`intelligence.search`, what an answer says is composed in `intelligence.answer`; both are pure, and this is what feeds
them.
"""
