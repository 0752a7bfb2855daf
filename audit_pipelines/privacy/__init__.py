"""What persons and courts may ask for: everything about somebody, their erasure, and holds; called by both shells."""
