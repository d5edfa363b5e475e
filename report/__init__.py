"""What reads results."""
