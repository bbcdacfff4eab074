_base_ = 'posec3d-hands_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
