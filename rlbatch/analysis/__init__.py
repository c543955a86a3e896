"""What do finished runs say about batch sizes? Numbers from run folders; nothing here trains or loads torch."""
