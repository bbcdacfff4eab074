from setuptools import find_packages, setup

setup(name='mmma', version='0.1.0', packages=find_packages(include=['mmma', 'mmma.*']))
