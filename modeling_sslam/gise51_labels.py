"""The 51 class names of GISE-51, in the order of the outputs of every classifier trained on it.

Yadav and Foster, "GISE-51: A scalable isolated sound events dataset", arXiv 2103.12306, 2021.
"""

_NAMES = """
Applause, Boom_and_explosion, Burping_and_eructation, Bus, Car, Chirp_and_tweet, Clapping, Coin_(dropping), Cough,
Crash_cymbal, Cricket, Crumpling_and_crinkling_and_crushing, Dishes_and_pots_and_pans_and_cutlery_and_silverware, Dog,
Drill, Drum, Fart, Fireworks, Glass, Gong, Guitar, Gunshot_and_gunfire, Hammer, Harmonica, Harp, Hi-hat, Human_speech,
Keys_jangling, Laughter, Marimba_and_xylophone, Organ, Piano, Rattle_(instrument), Screaming, Shatter, Slam,
Sliding_door, Subway_and_metro_and_underground, Tambourine, Tap, Tearing, Thunder, Toilet_flush, Train, Trumpet,
Walk_and_footsteps, Waves_and_surf_and_splash_and_splatter_stream, Whispering, Wind, Writing, Zipper_(clothing)
"""

GISE51_LABELS = tuple(name.strip() for name in _NAMES.split(","))
