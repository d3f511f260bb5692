"""Reading CSV files that nobody vouches for: a verdict, a profile and a normalised copy.

What runs in the reading process imports neither pydantic nor the rest of Callboard, so that a
read starts quickly and a file that breaks the reader breaks nothing else. `process` is the only
door: it starts that process, bounds it and checks what it answers.
"""
