"""Reports as print and data: facts composed from frames, laid out as PDF, charts and CSV.

Nothing here knows Dagster, HTTP or Postgres: the caller brings frames and facts and says where the file goes.
"""
