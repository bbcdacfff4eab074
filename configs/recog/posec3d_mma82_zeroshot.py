_base_ = 'posec3d_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
