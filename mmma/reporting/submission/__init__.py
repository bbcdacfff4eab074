"""Files for the servers of the Micro-Action Challenge (MAC), label space MA-52.

Class numbers are positions in the label space ``ma52``, whose order is that of the
released ``label_name.txt``.
"""
