"""What do the runs of an experiment say about batch sizes? Reads run folders, and never trains."""
