"""Recordings: files in any format that libsndfile or ffmpeg reads, block by block, and folders of them.

Never: read a live source.
"""
