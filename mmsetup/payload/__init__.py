"""Programs that run inside the target interpreter; nothing of mmsetup is imported there."""
