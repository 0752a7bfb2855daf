"""What analysts say of anomalies, and what that changes: verdicts, suppressions, the alerting threshold."""
