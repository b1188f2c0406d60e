from lmlib.course.cli import main

main()
