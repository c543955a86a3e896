"""What do finished runs say about the batch size?"""
