_base_ = 'posec3d-limb_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
